"""Bytes of clinical files <-> Recording: lenient on read, and every repair is listed."""
