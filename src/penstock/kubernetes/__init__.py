"""What everything that talks to a Kubernetes API server shares: kinds, and mirrors of what is there.

kinds.py    the kinds of objects that we know, as the client wants them
mirror.py   all objects of a kind, kept true by list and watch
events.py   an Event about an object
lease.py    one of several processes leads

Objects are plain dictionaries, as the API server gives them.
"""
