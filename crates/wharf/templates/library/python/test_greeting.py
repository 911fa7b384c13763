import unittest

from greeting import Nobody, greeting


class Greeting(unittest.TestCase):
    def test_whoever_has_a_name_is_greeted(self):
        self.assertEqual(greeting(" Ada "), "Hello, Ada!")
        with self.assertRaises(Nobody):
            greeting(" ")
