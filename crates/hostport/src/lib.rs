//! The hostport operator.
