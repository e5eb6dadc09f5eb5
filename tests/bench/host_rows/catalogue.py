"""Every row, in the order of the numbers to reach."""

from host_rows import (
    at_rest,
    commands,
    configuration,
    dead_stream,
    latency,
    outage,
    rotation,
    soaks,
)

ROWS = (
    *rotation.ROWS,
    *soaks.STREAM_ROWS,
    *dead_stream.ROWS,
    *configuration.ROWS,
    *latency.ROWS,
    *commands.ROWS,
    *at_rest.ROWS,
    *outage.ROWS,
    *soaks.LIFE_ROWS,
)
