import unittest

from policy import is_allowed


class Policy(unittest.TestCase):
    def test_what_is_private_does_not_come_through(self):
        for path in ["/", "/privateer"]:
            self.assertTrue(is_allowed(path), path)
        for path in ["/private", "/private?x", "/private/a"]:
            self.assertFalse(is_allowed(path), path)
