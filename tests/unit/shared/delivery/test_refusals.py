from shared.delivery.lanes import PartitionLanes
from shared.delivery.refusals import RefusalGuard, RefusalLimits


def guard(**limits) -> tuple[RefusalGuard, PartitionLanes]:
    return RefusalGuard(RefusalLimits(**limits)), PartitionLanes("t", 0, 1)


def test_rejected_documents_alone_stop_nothing_while_others_come_through():
    watch, partition = guard()

    verdicts = [watch.is_too_much(partition, 1, number % 40 != 0, 0) for number in range(5000)]

    assert not any(verdicts)


def test_fifty_refused_in_a_row_on_one_partition_stop_the_service():
    watch, partition = guard()

    verdicts = [watch.is_too_much(partition, 1, 1, 0) for _ in range(50)]

    assert verdicts == [False] * 49 + [True]


def test_refusals_on_several_partitions_are_counted_apart():
    watch, _ = guard()
    partitions = [PartitionLanes("t", number, 1) for number in range(12)]

    verdicts = [watch.is_too_much(partitions[number % 12], 1, 1, 0) for number in range(12 * 49)]

    assert not any(verdicts)


def test_a_limit_of_zero_switches_the_row_off():
    watch, partition = guard(in_a_row=0)

    assert not any(watch.is_too_much(partition, 1, 1, 0) for _ in range(5000))


def test_a_file_of_which_parts_come_through_does_not_count_as_refused():
    watch, partition = guard()

    assert not any(watch.is_too_much(partition, 100, 99, 0) for _ in range(500))


def test_defects_in_more_than_a_twentieth_stop_the_service():
    watch, partition = guard()

    verdicts = [watch.is_too_much(partition, 1, number % 10 == 0, number % 10 == 0) for number in range(1000)]

    assert verdicts.index(True) == 490  # the fiftieth failure


def test_few_defects_never_stop_a_service():
    watch, partition = guard(in_a_row=0)

    assert not any(watch.is_too_much(partition, 1, 1, 1) for _ in range(49))


def test_old_defects_are_forgotten():
    watch, partition = guard(in_a_row=0)
    for _ in range(49):
        watch.is_too_much(partition, 1, 1, 1)
    for _ in range(1000):
        watch.is_too_much(partition, 1, 0, 0)

    assert not any(watch.is_too_much(partition, 1, 1, 1) for _ in range(49))
