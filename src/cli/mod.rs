//! The two commands: `crontab`, with which users edit their crontabs, and `cronctl`, which shows what runs and when.

pub mod cronctl;
pub mod crontab;
