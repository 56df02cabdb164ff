//! What every service answers: who it is and which interfaces it has.

use super::message::{Call, CallError, Reply};
use super::{cron, history};
use serde::{Deserialize, Serialize};

/// The name of the interface.
pub const INTERFACE: &str = "org.varlink.service";
const DESCRIPTION: &str = include_str!("org.varlink.service.varlink");

/// The result of `GetInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Who made the service.
    pub vendor: String,
    /// The program.
    pub product: String,
    /// Its version.
    pub version: String,
    /// Where more about it is written.
    pub url: String,
    /// The names of its interfaces.
    pub interfaces: Vec<String>,
}

#[derive(Deserialize)]
struct DescriptionArguments {
    interface: String,
}

#[derive(Serialize)]
struct Description {
    description: &'static str,
}

/// Answers a call of this interface, for a service that also has `interface`.
///
/// # Errors
///
/// No such method, or no such interface.
pub fn answer(call: &Call, interface: &str) -> Result<Reply, CallError> {
    match call.target().1 {
        "GetInfo" => Ok(Reply::of(&Info {
            vendor: "cronwheel".to_owned(),
            product: "cronwheel".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            url: "man:cronctl(1)".to_owned(),
            interfaces: vec![INTERFACE.to_owned(), interface.to_owned()],
        })),
        "GetInterfaceDescription" => {
            let DescriptionArguments { interface: wanted } = call.arguments()?;
            let known = [
                (INTERFACE, DESCRIPTION),
                (cron::INTERFACE, cron::DESCRIPTION),
                (history::INTERFACE, history::DESCRIPTION),
            ];
            let is_offered = wanted == INTERFACE || wanted == interface;
            let found = known.iter().find(|(name, _)| is_offered && *name == wanted);
            let (_, description) = found.ok_or(CallError::InterfaceNotFound { interface: wanted })?;
            Ok(Reply::of(&Description { description }))
        }
        _ => Err(CallError::MethodNotFound { method: call.method.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_process_describes_the_interfaces_that_it_has_and_no_others() {
        let asked = |method: &str, interface: &str| {
            let call = Call::new(format!("{INTERFACE}.{method}"), &json!({ "interface": interface }));
            answer(&call, cron::INTERFACE)
        };
        let result = |reply: Reply| reply.result::<serde_json::Value>().unwrap();
        let description = |interface: &str| asked("GetInterfaceDescription", interface).map(result);
        assert_eq!(description(INTERFACE), Ok(json!({ "description": DESCRIPTION })));
        assert_eq!(description(cron::INTERFACE), Ok(json!({ "description": cron::DESCRIPTION })));
        for interface in [history::INTERFACE, "", "io.cronwheel"] {
            let expected = CallError::InterfaceNotFound { interface: interface.to_owned() };
            assert_eq!(description(interface), Err(expected));
        }
        assert_eq!(
            asked("GetInfo", "").map(|reply| result(reply)["interfaces"].clone()),
            Ok(json!([INTERFACE, cron::INTERFACE]))
        );
        let unknown = CallError::MethodNotFound { method: format!("{INTERFACE}.Nothing") };
        assert_eq!(asked("Nothing", ""), Err(unknown));
    }
}
