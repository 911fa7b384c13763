//! The program's commands, flags, messages and exit codes.
