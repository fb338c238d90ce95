//! Where private keys live: file or encrypted file, behind one signing trait.
