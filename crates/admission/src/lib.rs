//! Pod admission: pure mutate and validate functions behind an HTTPS server.
