import asyncio
import itertools

from shared.delivery.breaker import BreakerLimits
from shared.delivery.refusals import RefusalLimits
from shared.errors import Unavailable
from shared.outcomes import Failed, Reason, Rejected
from tests.unit.shared.delivery.fakes import OK, MemoryRecorder, engine, fine, record, until

PLACE = ("t", 0)


def test_records_of_a_key_keep_their_order_and_keys_run_side_by_side():
    async def run() -> None:
        recorder = MemoryRecorder()
        running: dict[bytes | None, int] = {}
        most = 0

        async def handler(one):
            nonlocal most
            assert one.key not in running
            running[one.key] = one.offset
            most = max(most, len(running))
            await asyncio.sleep(0.001)
            del running[one.key]
            return OK

        delivery = engine(handler, recorder)
        await delivery.submit([record(number, str(number % 10)) for number in range(90)])
        await until(lambda: len(recorder.rows) == 90)

        assert all(sorted(offsets) == offsets for offsets in recorder.by_key().values())
        assert most == 8
        assert delivery.marks() == {PLACE: 90}
        assert delivery.room.records == delivery.room.bytes == 0
        await delivery.stop()

    asyncio.run(run())


def test_records_without_a_key_keep_the_order_of_their_partition():
    async def run() -> None:
        recorder = MemoryRecorder()
        delivery = engine(fine, recorder)
        await delivery.submit([record(number, None) for number in range(40)])
        await until(lambda: len(recorder.rows) == 40)

        assert list(range(40)) == recorder.offsets
        await delivery.stop()

    asyncio.run(run())


def test_an_outage_keeps_the_record_and_only_its_lane_waits():
    async def run() -> None:
        recorder = MemoryRecorder()
        tries = 0

        async def handler(one):
            nonlocal tries
            if one.key == b"sick":
                tries += 1
                if tries <= 5:
                    raise Unavailable("platform", "503")
            return OK

        delivery = engine(handler, recorder)
        await delivery.submit([record(0, "sick"), record(1, "sick"), *(record(number, "well") for number in range(2, 20))])
        await until(lambda: len(recorder.rows) == 20)

        assert recorder.by_key()[b"sick"] == [0, 1]
        assert recorder.by_key()[b"well"] == list(range(2, 20))
        assert next(attempt for one, _, attempt in recorder.rows if one.offset == 0) == 6
        await delivery.stop()

    asyncio.run(run())


def test_the_mark_waits_for_the_record_that_is_put_off():
    async def run() -> None:
        recorder = MemoryRecorder()

        async def handler(one):
            if one.offset == 3:
                raise Unavailable("platform")
            return OK

        delivery = engine(handler, recorder)
        await delivery.submit([record(number, str(number)) for number in range(10)])
        await until(lambda: len(recorder.rows) == 9)

        assert delivery.marks() == {PLACE: 3}
        await delivery.stop()

    asyncio.run(run())


def test_a_defect_is_an_outcome_and_the_next_record_goes_on():
    async def run() -> None:
        recorder = MemoryRecorder()

        async def handler(one):
            if one.offset == 1:
                raise KeyError("MRN 12345")
            return OK

        delivery = engine(handler, recorder)
        await delivery.submit([record(number) for number in range(3)])
        await until(lambda: len(recorder.rows) == 3)

        (failed,) = recorder.rows[1][1]
        assert isinstance(failed, Failed)
        assert failed.defect.startswith("KeyError at ")
        assert "12345" not in failed.defect
        assert delivery.marks() == {PLACE: 3}
        await delivery.stop()

    asyncio.run(run())


def test_a_handler_that_says_nothing_or_cancels_itself_is_a_defect():
    async def run() -> None:
        recorder = MemoryRecorder()

        async def handler(one):
            if one.offset == 0:
                return []
            if one.offset == 1:
                raise asyncio.CancelledError
            return OK

        delivery = engine(handler, recorder)
        await delivery.submit([record(number) for number in range(3)])
        await until(lambda: len(recorder.rows) == 3)

        assert [Failed, Failed] == [type(outcomes[0]) for _, outcomes, _ in recorder.rows[:2]]
        await delivery.stop()

    asyncio.run(run())


def test_what_cannot_be_recorded_is_not_marked_and_not_handled_twice():
    async def run() -> None:
        recorder = MemoryRecorder()
        recorder.outages, recorder.defects = 3, 2
        handled = []

        async def handler(one):
            handled.append(one.offset)
            return OK

        delivery = engine(handler, recorder)
        await delivery.submit([record(0)])
        assert not recorder.rows
        await until(lambda: recorder.rows)

        assert handled == [0]
        assert delivery.marks() == {PLACE: 1}
        await delivery.stop()

    asyncio.run(run())


def test_a_full_buffer_makes_the_sender_wait_until_there_is_room():
    async def run() -> None:
        recorder = MemoryRecorder()
        gate = asyncio.Event()

        async def handler(one):
            await gate.wait()
            return OK

        delivery = engine(handler, recorder, buffered_records=10)
        filling = asyncio.create_task(delivery.submit([record(number, str(number)) for number in range(12)]))
        await until(lambda: delivery.in_flight == 8)
        assert not filling.done()
        assert delivery.room.is_full
        gate.set()
        await filling

        assert not delivery.room.is_full
        await until(lambda: len(recorder.rows) == 12)
        await delivery.stop()

    asyncio.run(run())


def test_a_buffer_that_stays_full_gives_the_poller_its_turn_back():
    async def run() -> None:
        async def handler(one):
            raise Unavailable("platform", retry_after_seconds=600)

        delivery = engine(handler, MemoryRecorder(), buffered_records=10)
        async with asyncio.timeout(5):
            await delivery.submit([record(number, str(number)) for number in range(12)])

        assert delivery.room.is_full
        await delivery.stop()

    asyncio.run(run())


def test_bytes_fill_the_buffer_as_well():
    async def run() -> None:
        delivery = engine(fine, MemoryRecorder(), buffered_bytes=1000)
        delivery.room.add(record(0, value=b"x" * 1001))

        assert delivery.room.is_full
        await delivery.stop()

    asyncio.run(run())


def test_revoking_waits_for_what_is_in_flight_and_drops_the_rest():
    async def run() -> None:
        recorder = MemoryRecorder()
        gate = asyncio.Event()

        async def handler(one):
            await gate.wait()
            return OK

        delivery = engine(handler, recorder)
        await delivery.submit([record(number, "one") for number in range(5)] + [record(0, "other", partition=1)])
        await until(lambda: delivery.in_flight == 2)
        revoking = asyncio.create_task(delivery.revoked([PLACE], wait_seconds=5))
        await asyncio.sleep(0.01)
        assert not revoking.done()
        gate.set()

        assert await revoking == {PLACE: 1}
        assert ("t", 1) in delivery.partitions
        assert PLACE not in delivery.partitions
        await until(lambda: len(recorder.rows) == 2)
        assert delivery.room.records == 0
        await delivery.stop()

    asyncio.run(run())


def test_what_ends_after_its_partition_was_revoked_counts_for_nothing():
    async def run() -> None:
        recorder = MemoryRecorder()
        gate = asyncio.Event()

        async def handler(one):
            await gate.wait()
            return OK

        delivery = engine(handler, recorder)
        await delivery.submit([record(0)])
        await until(lambda: delivery.in_flight == 1)

        assert await delivery.revoked([PLACE], wait_seconds=0.01) == {PLACE: 0}
        await delivery.submit([record(0)])  # it has come back: a new epoch
        gate.set()
        await until(lambda: len(recorder.rows) == 2)

        assert delivery.marks() == {PLACE: 1}
        assert delivery.room.records == 0
        await delivery.stop()

    asyncio.run(run())


def test_stopping_finishes_what_is_in_flight_and_starts_nothing_new():
    async def run() -> None:
        recorder = MemoryRecorder()

        async def handler(one):
            await asyncio.sleep(0.05)
            return OK

        delivery = engine(handler, recorder)
        await delivery.submit([record(number) for number in range(5)])
        await until(lambda: delivery.in_flight == 1)

        assert await delivery.stop() == {PLACE: 1}
        assert recorder.offsets == [0]
        assert not delivery.is_ready

    asyncio.run(run())


def test_stopping_does_not_wait_longer_than_the_deadline():
    async def run() -> None:
        async def handler(one):
            await asyncio.Event().wait()
            return OK

        delivery = engine(handler, MemoryRecorder(), drain_seconds=0.05)
        await delivery.submit([record(0)])
        await until(lambda: delivery.in_flight == 1)
        async with asyncio.timeout(5):
            marks = await delivery.stop()

        assert marks == {PLACE: 0}

    asyncio.run(run())


def test_too_many_refusals_stop_the_engine_and_the_rest_stays_unmarked():
    async def run() -> None:
        recorder = MemoryRecorder()

        async def handler(one):
            return [Rejected(Reason.MALFORMED_HL7)]

        delivery = engine(handler, recorder, refusals=RefusalLimits(in_a_row=10))
        await delivery.submit([record(number) for number in range(50)])
        await until(lambda: delivery.is_stopped_by_refusals)
        marks = await delivery.stop()

        assert not delivery.is_ready
        assert marks == {PLACE: 10}
        assert len(recorder.rows) == 10

    asyncio.run(run())


def test_what_waits_for_a_person_never_stops_the_engine():
    async def run() -> None:
        recorder = MemoryRecorder()

        async def handler(one):
            return [Rejected(Reason.POSSIBLE_DUPLICATE)]

        delivery = engine(handler, recorder, refusals=RefusalLimits(in_a_row=10))
        await delivery.submit([record(number) for number in range(50)])
        await until(lambda: len(recorder.rows) == 50)

        assert delivery.is_ready
        await delivery.stop()

    asyncio.run(run())


def test_a_target_that_is_down_gets_one_probe_at_a_time_and_everything_drains_afterwards():
    async def run() -> None:
        recorder = MemoryRecorder()
        is_down = True
        asked = 0

        async def handler(one):
            nonlocal asked
            asked += 1
            await asyncio.sleep(0)
            if is_down:
                raise Unavailable("platform", is_target_down=True)
            return OK

        delivery = engine(handler, recorder, breaker=BreakerLimits(first_pause_seconds=0.1, longest_pause_seconds=0.1))
        await delivery.submit([record(number, str(number)) for number in range(60)])
        await until(lambda: delivery.open_targets == ["platform"])
        await asyncio.sleep(0.45)
        assert asked <= 8 + 5  # those under way when it opened, then the probes
        is_down = False
        await until(lambda: len(recorder.rows) == 60)

        assert delivery.open_targets == []
        assert delivery.marks() == {PLACE: 60}
        await delivery.stop()

    asyncio.run(run())


def test_an_outage_of_one_target_does_not_hold_the_records_for_another():
    async def run() -> None:
        recorder = MemoryRecorder()

        async def handler(one):
            if one.key.startswith(b"north"):
                raise Unavailable("north", is_target_down=True)
            return OK

        delivery = engine(handler, recorder, target_of=lambda one: one.key.decode().split("-")[0])
        keys = [f"{'north' if number % 2 else 'south'}-{number}" for number in range(60)]
        await delivery.submit([record(number, key) for number, key in enumerate(keys)])
        await until(lambda: len(recorder.rows) == 30)

        assert delivery.open_targets == ["north"]
        assert all(key.startswith(b"south") for key in recorder.by_key())
        await delivery.stop()

    asyncio.run(run())


def test_an_outage_of_what_all_need_holds_everything():
    async def run() -> None:
        recorder = MemoryRecorder()
        is_down = True

        async def handler(one):
            if is_down:
                raise Unavailable("postgres", is_target_down=True)
            return OK

        delivery = engine(
            handler, recorder, target_of=lambda one: "north", breaker=BreakerLimits(first_pause_seconds=0.05, longest_pause_seconds=0.05)
        )
        await delivery.submit([record(number, str(number)) for number in range(20)])
        await until(lambda: delivery.open_targets == ["postgres"])
        is_down = False
        await until(lambda: len(recorder.rows) == 20)
        await delivery.stop()

    asyncio.run(run())


def test_a_record_fetched_twice_is_handled_once():
    async def run() -> None:
        recorder = MemoryRecorder()
        delivery = engine(fine, recorder)
        await delivery.submit([record(number) for number in range(5)])
        await delivery.submit([record(number) for number in range(3, 8)])
        await until(lambda: len(recorder.rows) == 8)

        assert list(range(8)) == recorder.offsets
        await delivery.stop()

    asyncio.run(run())


def test_many_records_that_need_no_waiting_leave_the_loop_its_turns():
    async def run() -> None:
        recorder = MemoryRecorder()
        recorder.record = _record_at_once(recorder)  # type: ignore[method-assign]
        ticks = itertools.count()
        delivery = engine(fine, recorder, buffered_records=100_000, clock=lambda: next(ticks) / 1000)
        turns: list[int] = []

        async def watch() -> None:
            while True:
                await asyncio.sleep(0)
                turns.append(len(recorder.rows))

        watching = asyncio.create_task(watch())
        await delivery.submit([record(number, str(number % 500)) for number in range(5000)])
        await until(lambda: len(recorder.rows) == 5000)
        watching.cancel()

        # each clock reading is a millisecond here: a worker reads it a few times for a record and gives way after five
        assert max(after - before for before, after in itertools.pairwise(turns)) <= 8
        await delivery.stop()

    asyncio.run(run())


def _record_at_once(recorder):
    async def record(one, outcomes, *, attempt, duration_ms):
        recorder.rows.append((one, list(outcomes), attempt))

    return record


def test_what_has_waited_longest_goes_first_so_that_the_mark_stays_close():
    async def run() -> None:
        recorder = MemoryRecorder()
        furthest = 0

        async def handler(one):
            nonlocal furthest
            await asyncio.sleep(0)
            mark = delivery.mark_of(PLACE)
            assert mark is not None
            furthest = max(furthest, one.offset - mark)
            return OK

        delivery = engine(handler, recorder, buffered_records=5000)
        await delivery.submit([record(number, str(number * number % 97)) for number in range(2000)])
        await until(lambda: len(recorder.rows) == 2000)

        assert furthest < 8 * 40  # of eight workers; first come, first served by lanes would be some 1,900
        await delivery.stop()

    asyncio.run(run())
