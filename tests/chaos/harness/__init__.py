"""The harness: a stack, workers and a load, under faults by a seeded schedule; in the end everything heals, is answered,
and is handed to the auditor.

    schedule  which fault when, from a seed       kinds    what each kind of fault does, and how it ends
    proxy     a TCP proxy that cuts and holds      fleet    the workers: killed, stopped, added, removed, kept up
    load      the requests, from a seed            rig      all of that together, with a list of deeds
"""
