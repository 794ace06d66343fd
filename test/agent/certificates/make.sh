#!/bin/sh
# Makes the certificates of these tests anew: a CA, and certificates of it for assay.test. The CA's key is
# thrown away; key.pem belongs to servers of tests alone.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }
key "$work/ca.key"
key key.pem
: >"$work/index"
echo 01 >"$work/serial"
cat >"$work/ca.cnf" <<END
[ca]
default_ca = own
[own]
database = $work/index
serial = $work/serial
new_certs_dir = $work
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
organizationName = optional
[root]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:false
subjectAltName = DNS:assay.test,DNS:localhost,IP:127.0.0.1
END
sign() { # name, subject, extensions, from, to, further arguments
	name=$1 subject=$2 extensions=$3 from=$4 to=$5
	shift 5
	openssl req -new -key "${KEY:-key.pem}" -subj "$subject" -out "$work/$name.csr" 2>/dev/null
	openssl ca -batch -notext -config "$work/ca.cnf" -in "$work/$name.csr" -extensions "$extensions" \
		-startdate "$from" -enddate "$to" -out "$name.pem" -keyfile "$work/ca.key" "$@" 2>/dev/null
}
KEY="$work/ca.key" sign ca "/O=Assay tests/CN=Root of the tests" root 20000101000000Z 29991231000000Z -selfsign
sign server "/CN=assay.test" leaf 20200101000000Z 29991231000000Z -cert ca.pem
sign expired "/CN=assay.test" leaf 20200101000000Z 20210101000000Z -cert ca.pem
sign early "/CN=assay.test" leaf 29000101000000Z 29991231000000Z -cert ca.pem
