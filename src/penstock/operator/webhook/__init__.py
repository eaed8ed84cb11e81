"""The validating webhook: nobody becomes a second owner of a count, nor writes one that is another's.

review.py         a request of the API server in, a refusal or nothing out; pure
certificates.py   a throw-away authority and the certificate that it signs; pure but for keys and clock
objects.py        its Service and configuration; pure
trust.py          keeps Secret, certificate and configuration in step
server.py         HTTPS
process.py        what it knows, and all of it together

The operator's process serves it, in each of its replicas, whoever leads: it watches what owns counts anyway, two of it
run anyway, and a process of its own would be a third account with rights. It answers from memory, without a question of
its own. Its `failurePolicy` is Ignore: that Penstock is down must not keep anybody from scaling anything; a second
owner that came meanwhile is found by the operator, which says so in the pool's condition and in an Event.
"""
