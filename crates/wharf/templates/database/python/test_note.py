import unittest

from note import NoNote, text_of


class Note(unittest.TestCase):
    def test_a_note_is_a_line_of_text(self):
        self.assertEqual(text_of(b" Buy tea.\n"), "Buy tea.")
        for sent in [b" \n", b"one\ntwo", b"\xff"]:
            with self.assertRaises(NoNote):
                text_of(sent)
