"""What hardware does and costs, as numbers.

- `steptime`: how long an engine step takes, in integer ticks;
  `linear_step_time`: the same for those who reckon in means.
- `gpus`, `models`, `serving`: GPUs; model shapes; a model cut over GPUs, in bytes and operations.
- `step_model`, `profile`: step time predicted from those; the fitted file it rests on, with its errors.
- `kv_capacity`: how many KV blocks a replica has, or by how much its model does not fit; `memory_fit`: what would.
- `derived_engine`: an engine of a deployment, with what its profile knows filled in.
- `profiled`: every engine of a deployment that names one.
- `vm_sizes`: Azure VM sizes with their GPUs, memory and price; data with source and date, to be overridden.
"""
