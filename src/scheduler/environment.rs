//! The variables that a crontab sets for one entry.

use crate::crontab::SharedBytes;

/// Variables in order, each name once, packed so that a copy, a comparison and a message are cheap: name, NUL, value, NUL, and so on. No line of
/// a crontab can hold a NUL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Environment(SharedBytes);

impl Environment {
    /// An environment of these variables. Each name must be unique.
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Environment {
        let mut packed = Vec::new();
        for (name, value) in variables {
            for part in [name, b"\0", value, b"\0"] {
                packed.extend_from_slice(part);
            }
        }
        Environment(packed.into())
    }

    /// The variables as names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut parts = self.0.split(|&byte| byte == 0);
        std::iter::from_fn(move || {
            let name = parts.next()?;
            Some((name, parts.next()?))
        })
    }

    /// The packed bytes, to be shared with equal environments.
    pub fn bytes(&self) -> &SharedBytes {
        &self.0
    }

    /// The environment with these packed bytes, which must come from [`Environment::bytes`].
    pub fn with_bytes(bytes: SharedBytes) -> Environment {
        Environment(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_back_in_order_empty_values_included() {
        for variables in [&[][..], &[("A", "")], &[("A", "1"), ("B", ""), ("C", "x y=z")]] {
            let pairs = || variables.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            let environment = Environment::of(pairs());
            assert!(environment.iter().eq(pairs()), "{environment:?}");
            let sent = postcard::to_stdvec(&environment).unwrap();
            assert_eq!(postcard::from_bytes::<Environment>(&sent).unwrap(), environment);
        }
    }
}
