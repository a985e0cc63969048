//! Images of one's own, without a registry: made, loaded, named and run.

use crate::machine::{Machine, finished_with};

/// Makes an OCI layout of a shell and a few programs of this machine in the folder `$1`.
const MAKE_LAYOUT: &str = r#"
set -eu
out=$1; root=$out/root; mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$out/layout/blobs/sha256"
for program in sh cat sleep; do
  path=$(command -v $program); cp -L "$path" "$root/bin/$program"
  for library in $(ldd "$path" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")"; cp -nL "$library" "$root$library" || true
  done
done
echo "not the machine's" > "$root/etc/whose"
cd "$out/layout"
put() { sum=$(sha256sum "$1" | cut -d' ' -f1); size=$(stat -c %s "$1"); mv "$1" "blobs/sha256/$sum"; }
tar -C "$root" -cf layer .; put layer; layer=$sum; layer_size=$size
arch=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
printf '{"architecture":"%s","os":"linux","config":{"Env":["FROM_IMAGE=yes","PATH=/bin"],"WorkingDir":"/tmp","Entrypoint":["/bin/sh","-c"],"Cmd":["echo started by the image; exec sleep 3600"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$arch" "$layer" > config
put config; config=$sum; config_size=$size
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%s}]}' "$config" "$config_size" "$layer" "$layer_size" > manifest
put manifest
printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"tiny:1"}}]}' "$sum" "$size" > index.json
echo '{"imageLayoutVersion":"1.0.0"}' > oci-layout
"#;

#[test]
fn an_image_is_loaded_tagged_run_by_any_of_its_names_and_removed() {
    let machine = Machine::with_server();
    let folder = machine.path().to_string_lossy().into_owned();
    let data = machine.data().to_string_lossy().into_owned();
    finished_with(machine.command("sh").args(["-s", &folder]), MAKE_LAYOUT).ok();

    let image = |line: &str| machine.sandbank(&format!("image {line} --data-dir {data}"));
    assert!(image(&format!("load {folder}/layout")).ok().contains("tiny:1"));
    image("tag tiny:1 nginx:alpine").ok();
    let list = machine.ask(&format!("image list --data-dir {data}"));
    let tiny =
        list.as_array().unwrap().iter().find(|image| image["names"].to_string().contains("tiny:1"));
    assert!(tiny.unwrap()["names"].to_string().contains("nginx:alpine"), "{list}");

    machine.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: "nginx:alpine"}]
"#,
    );
    machine.wait_ready("pod/web");
    assert_eq!(machine.kubectl("logs web").ok(), "started by the image\n");
    assert_eq!(
        machine.exec("web", "echo $FROM_IMAGE; cat /etc/whose; pwd"),
        "yes\nnot the machine's\n/tmp"
    );
    machine.run("kubectl", &["exec", "web", "--", "/bin/ls"]).refused(1, &["no such file"]);

    image("rm nginx:alpine").ok();
    image("rm nginx:alpine").refused(3, &["nginx:alpine", "image list"]);
    assert_eq!(machine.exec("web", "cat /etc/whose"), "not the machine's", "what runs goes on");
    machine.kubectl("delete pod web").ok();
    image("rm tiny:1").ok();
    let list = machine.ask(&format!("image list --data-dir {data}")).to_string();
    assert!(!list.contains("tiny") && list.contains("host"), "{list}");
}

#[test]
fn what_is_no_image_is_refused() {
    let machine = Machine::new();
    let folder = machine.path().display();
    let said = machine.sandbank(&format!("image load {folder}/nothing --data-dir {folder}/data"));
    said.refused(1, &["nothing"]);
    std::fs::write(machine.path().join("noise"), "this is no archive").unwrap();
    let said = machine.sandbank(&format!("image load {folder}/noise --data-dir {folder}/data"));
    assert_ne!(said.code, 0);
    assert!(said.err.contains("noise"), "{said:?}");
}
