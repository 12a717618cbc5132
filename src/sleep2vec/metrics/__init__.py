"""How good an answer is: functions of arrays, nothing but numpy."""
