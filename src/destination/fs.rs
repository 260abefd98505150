//! A folder of this machine; nothing is ever written outside it.
