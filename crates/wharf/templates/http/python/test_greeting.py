import unittest

from greeting import greeting


class Greeting(unittest.TestCase):
    def test_whom_the_path_names_is_greeted(self):
        self.assertEqual(greeting("/"), "Hello, world!\n")
        self.assertEqual(greeting("/Ada"), "Hello, Ada!\n")
