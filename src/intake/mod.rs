//! Files and request messages → checked records.
