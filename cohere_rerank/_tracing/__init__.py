"""Spans and metrics of calls, jobs and servers, for programs that have configured OpenTelemetry.

Nothing here imports OpenTelemetry unless the program has imported it. `spans` has the span of a call, `attributes` says
what it contains, and `instruments` finds the providers of the program.
"""
