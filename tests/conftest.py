"""Here so that this folder is on every test's path: what the tests of several folders share lies beside it."""
