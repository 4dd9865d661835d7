//! A store that was restored to an older revision blinds watches silently: they wait for a future that is
//! past. A cheap LIST now and then notices.

use std::time::Duration;

use anyhow::bail;
use crds::HostPortClass;
use kube::{Api, Client, api::ListParams};

use super::slim::{SlimHostPort, SlimHostPortClaim};

const PAUSE: Duration = Duration::from_secs(30);
/// Why the process ends.
pub(super) const REWOUND: &str = "the API server's store was restored to an earlier state. All that is known here may be of a \
                                 future that is gone; starting anew";

/// Ends with an error once a kind's resourceVersion is lower than it was: the process starts anew.
pub(super) async fn watch_for_rewind(client: Client) -> anyhow::Result<()> {
    let mut newest = [0u64; 3];
    let mut ticks = tokio::time::interval(PAUSE);
    loop {
        ticks.tick().await;
        let one = ListParams::default().limit(1);
        let claims = Api::<SlimHostPortClaim>::all(client.clone());
        let hostports = Api::<SlimHostPort>::all(client.clone());
        let classes = Api::<HostPortClass>::all(client.clone());
        let versions = [
            claims.list_metadata(&one).await.map(|list| list.metadata.resource_version),
            hostports.list_metadata(&one).await.map(|list| list.metadata.resource_version),
            classes.list_metadata(&one).await.map(|list| list.metadata.resource_version),
        ];
        for (newest, version) in newest.iter_mut().zip(versions) {
            // An API server that does not answer is the watches' affair.
            let Some(version) = version.ok().flatten().and_then(|text| text.parse::<u64>().ok()) else {
                continue;
            };
            if version < *newest {
                bail!("the API server is at resourceVersion {version}, it was at {newest}: {REWOUND}");
            }
            *newest = version;
        }
    }
}
