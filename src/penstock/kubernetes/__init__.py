"""What everything that talks to a Kubernetes API server shares: kinds, and mirrors of what is there.

kinds.py       the kinds of objects that we know, as the client wants them
plural.py      the resource of a kind that we don't
mirror.py      all objects of a kind, kept true by list and watch
lease.py       one of several processes leads
events.py      an Event about an object
conditions.py  what a status says, by convention

Objects are plain dictionaries, as the API server gives them.
"""
