"""From a row function to an executable for a device: traced, digested, compiled, kept, and run a batch at a time.

Also what decides its bits from outside: XLA's flags, the processor, LAPACK, the device. No files of rows, no Arrow.
Begin with ``trace.py`` (the function as a program), then ``programs.py`` (compiled and run).
"""
