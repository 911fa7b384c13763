//! What the guests of this folder share.
