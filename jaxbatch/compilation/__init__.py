"""From a row function to an executable for a device: traced, digested, compiled, kept, and run a batch at a time.

Also what else decides an executable's bits: XLA's flags, the processor, LAPACK, the device. Files and Arrow do not
belong here. Begin with ``trace.py`` (the function as a program), then ``programs.py`` (compiled and run).
"""
