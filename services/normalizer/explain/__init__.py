"""Explaining a reading: which element of the source each field of the result comes from, found by changing one element at a time.

Nothing is declared and nothing is traced: the reader itself is asked again with a source in which a single element differs.
"""
