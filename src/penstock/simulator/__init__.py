"""Virtual time. Today one room: the clock in which the live loop is tested; the virtual cluster comes later.

- `clock`: an event loop whose time jumps to the next instant that anyone waits for.
"""
