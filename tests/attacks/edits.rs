//! Edits, prompts and mail addresses: nothing that a user saved gets lost, nothing goes to the wrong person.
