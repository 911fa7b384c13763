//! What the suites share: guests, a scratch folder, the program under test.
