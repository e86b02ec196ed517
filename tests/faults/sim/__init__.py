"""Ten thousand bad nights in one process: seeded faults, a virtual clock, no sockets, no sleeping.

``schedule`` draws what goes wrong, ``world`` is where it does (hosts, a store, machines, a clock), ``week`` plays seven
nights of commands and the person who answers their hints, ``truth`` holds the store against the hosts' own account.
"""
