//! Nothing is shared by the two sides but their WIT.
