import io
import unittest

from count import Counted, count


class Count(unittest.TestCase):
    def test_lines_words_and_bytes_are_counted(self):
        self.assertEqual(count(io.BytesIO(b"one two\nthree\n")), Counted(2, 3, 14))
        self.assertEqual(count(io.BytesIO(b"")), Counted())
