//! The bucket: create-only puts over `object_store`, the probe, and the objects of the ledger. Decides nothing about cuts.
