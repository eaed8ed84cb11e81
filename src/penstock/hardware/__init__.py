"""What hardware does and costs, as numbers.

- `steptime`: how long an engine step takes, in integer ticks, linear in its work.
- `vm_sizes`: Azure VM sizes with their GPUs, memory and price; data with source and date, to be overridden.
"""
