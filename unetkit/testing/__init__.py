"""Contracts of what unetkit can be extended with, for the tests of an extension. They need pytest.

Each contract is a class of tests. An extension's test module subclasses it and says what is tested:

    from unetkit.testing.backends import BackendContract

    class TestMyBackend(BackendContract):
        info = INFO

unetkit's own tests subclass the same contracts. The library itself never imports this package.
"""
