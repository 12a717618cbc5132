"""How good an answer is, and what a night amounts to: functions of arrays, nothing but numpy, scipy and probes."""
