//! The bridge and the pairs of interfaces that join pods to it, by netlink.

use std::{
    io,
    net::Ipv4Addr,
    os::fd::{AsRawFd, OwnedFd},
};

use futures::TryStreamExt;
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::link::{InfoData, InfoVeth, LinkAttribute},
};

use super::{PodNamespace, Range, namespace};

/// Interface numbers inside a pod's namespace, which are ours to choose: the kernel makes the loopback interface first.
const LOOPBACK: u32 = 1;
const ETH0: u32 = 2;

const EXISTS: i32 = 17;
const NO_DEVICE: i32 = 19;

pub(super) struct Bridge {
    handle: Handle,
    index: u32,
    range: Range,
    /// The namespace it is in.
    home: OwnedFd,
}

impl Bridge {
    pub(super) async fn open(name: &str, range: Range, home: OwnedFd) -> io::Result<Self> {
        let handle = connect()?;
        let gateway = range.gateway();
        // A fixed hardware address: otherwise it is that of the lowest port, and changes as pods come and go.
        let bridge = LinkBridge::new(name).address(hardware_address(gateway)).build();
        match handle.link().add(bridge).execute().await {
            Err(e) if code(&e) != Some(EXISTS) => return Err(failed("make the bridge", &e)),
            _ => {}
        }
        let mut found = handle.link().get().match_name(name.to_owned()).execute();
        let link = found
            .try_next()
            .await
            .map_err(|e| failed("find the bridge", &e))?
            .ok_or_else(|| io::Error::other(format!("the bridge {name} is gone")))?;
        let index = link.header.index;
        let added = handle.address().add(index, gateway.into(), range.prefix()).execute().await;
        match added {
            Err(e) if code(&e) != Some(EXISTS) => {
                return Err(failed("give the bridge its address", &e));
            }
            _ => {}
        }
        let up = LinkMessageBuilder::<LinkUnspec>::new().index(index).up().build();
        handle.link().set(up).execute().await.map_err(|e| failed("enable the bridge", &e))?;
        let up = LinkMessageBuilder::<LinkUnspec>::new().index(LOOPBACK).up().build();
        handle.link().set(up).execute().await.map_err(|e| failed("enable loopback", &e))?;
        Ok(Self { handle, index, range, home })
    }

    /// Makes a namespace with `ip`.
    pub(super) async fn attach(&self, ip: Ipv4Addr) -> io::Result<PodNamespace> {
        let (fd, inside) = namespace::fresh(&self.home, connect)?;
        // The pod's end is born in its namespace: moving an interface afterwards takes far longer.
        let eth0 = LinkMessageBuilder::<LinkUnspec>::new()
            .index(ETH0)
            .name("eth0")
            .address(hardware_address(ip))
            .setns_by_fd(fd.as_raw_fd())
            .build();
        let pair = || {
            LinkMessageBuilder::<LinkVeth>::new(&host_end(ip), "eth0")
                .set_info_data(InfoData::Veth(InfoVeth::Peer(eth0.clone())))
                .controller(self.index)
                .up()
                .build()
        };
        match self.handle.link().add(pair()).execute().await {
            // The end of a pod that has just died and whose namespace the kernel is still taking apart.
            Err(e) if code(&e) == Some(EXISTS) => {
                self.detach(ip).await;
                self.handle.link().add(pair()).execute().await
            }
            done => done,
        }
        .map_err(|e| failed("join a pod to the bridge", &e))?;
        let made = self.address(&inside, ip).await;
        made.map_err(|e| failed("give a pod its address", &e))?;
        Ok(PodNamespace { fd, ip })
    }

    async fn address(&self, inside: &Handle, ip: Ipv4Addr) -> Result<(), rtnetlink::Error> {
        for index in [LOOPBACK, ETH0] {
            let up = LinkMessageBuilder::<LinkUnspec>::new().index(index).up().build();
            inside.link().set(up).execute().await?;
        }
        inside.address().add(ETH0, ip.into(), self.range.prefix()).execute().await?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(self.range.gateway()).build();
        inside.route().add(route).execute().await
    }

    /// Takes away the pair of `ip`, if it is still there.
    pub(super) async fn detach(&self, ip: Ipv4Addr) {
        let gone = LinkMessageBuilder::<LinkUnspec>::new().name(host_end(ip)).build();
        let mut request = self.handle.link().del(0);
        *request.message_mut() = gone;
        if let Err(error) = request.execute().await
            && code(&error) != Some(NO_DEVICE)
        {
            tracing::warn!(%error, %ip, "remove a pod's interface");
        }
    }

    /// How many pairs there are.
    pub(super) async fn ports(&self) -> io::Result<usize> {
        let links = self.handle.link().get().execute().try_collect::<Vec<_>>().await;
        let links = links.map_err(|e| failed("list interfaces", &e))?;
        let ours = LinkAttribute::Controller(self.index);
        Ok(links.iter().filter(|link| link.attributes.contains(&ours)).count())
    }

    pub(super) async fn remove(&self) -> io::Result<()> {
        let removed = self.handle.link().del(self.index).execute().await;
        removed.map_err(|e| failed("remove the bridge", &e))
    }
}

/// A netlink connection in the calling thread's namespace.
fn connect() -> io::Result<Handle> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    // It ends when the handle is dropped.
    tokio::spawn(connection);
    Ok(handle)
}

/// The bridge's end of a pair, named after the address so that it can be found again without any record.
fn host_end(ip: Ipv4Addr) -> String {
    format!("sb{:08x}", u32::from(ip))
}

/// A locally administered address made from the IP address, so that neighbours who knew the previous holder of the IP address
/// need not learn.
fn hardware_address(ip: Ipv4Addr) -> Vec<u8> {
    let [a, b, c, d] = ip.octets();
    vec![0x0a, 0x58, a, b, c, d]
}

fn code(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| code.get().abs()),
        _ => None,
    }
}

fn failed(attempted: &str, error: &rtnetlink::Error) -> io::Error {
    let kind = match code(error) {
        Some(number) => io::Error::from_raw_os_error(number).kind(),
        None => io::ErrorKind::Other,
    };
    io::Error::new(kind, format!("{attempted}: {error}"))
}
