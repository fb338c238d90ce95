//! The appliance on the factory floor: local CA, API, boards, CLI.
