"""How good an answer is: functions of arrays, nothing but numpy, and scipy for quantiles and a minimum."""
