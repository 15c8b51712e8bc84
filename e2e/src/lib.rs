//! What the tests on real parts share.
