import unittest

from reply import reply


class Reply(unittest.TestCase):
    def test_whoever_says_who_they_are_is_greeted(self):
        self.assertEqual(reply("Ada\n"), "Hello, Ada!")
