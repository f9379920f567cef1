//! Requests, answers and streams, both ways.
