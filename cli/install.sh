#!/bin/sh
# Installs the command line assay for this person, on a machine without Node too: curl -fsSL HOST/cli | sh
{ # Closed on the last line: a download that was cut off is a syntax error and runs nothing.
set -u; exec </dev/null
version='@NODE_VERSION@' registry='@REGISTRY@'
host='@ORIGIN@' node='' work='' child='' previous=''
# The same functions as in the agent's script: say, die, download, sha256, find_node, fetch_node.
@FUNCTIONS@
quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"; }
case $host in http*) ;; *) host=${ASSAY_HOST:-} ;; esac
for argument do
  case $argument in --host=*) host=${argument#--host=} ;; *) [ "$previous" != --host ] || host=$argument ;; esac; previous=$argument
done
case $host in http://* | https://*) host=${host%/} ;; *) say 'give the control plane with sh -s -- --host, such as https://assay.example'; exit 2 ;; esac
@MACHINE@
trap clean EXIT; trap 'exit 130' INT; trap 'exit 143' TERM
[ -n "${HOME:-}" ] || die 'HOME is not set: assay is installed into it'
data=${XDG_DATA_HOME:-$HOME/.local/share}/assay bin=$HOME/.local/bin cache=$data
mkdir -p "$data" "$bin" 2>/dev/null && work=$(mktemp -d "$data/part.XXXXXX" 2>/dev/null) || die "$data and $bin cannot be written"
[ ! -e "$bin/assay" ] || [ "$(sed -n '2s/^# assay, .*/ours/p' "$bin/assay")" = ours ] ||
  die "$bin/assay is another program: move it away first"
kept=$data/node-$version-$arch
find_node || fetch_node
download "$host/assay.mjs" "$work/assay.mjs" || die "assay cannot be fetched from $host/assay.mjs"
[ "$(tail -n 1 "$work/assay.mjs")" = '// The end of assay.mjs.' ] || die "the download from $host/assay.mjs is incomplete: nothing was installed"
cat > "$work/assay" <<END
#!/bin/sh
# assay, installed from $host. To remove it: rm -r $(quoted "$data") $(quoted "$bin/assay")
export ASSAY_INSTALLED_FROM=$(quoted "$host") NODE_USE_ENV_PROXY="\${NODE_USE_ENV_PROXY-1}"
for node in $(quoted "$node") "\$(command -v node)" $(quoted "$kept"); do
  [ ! -x "\$node" ] || exec "\$node" $(quoted "$data/assay.mjs") "\$@"
done
echo 'assay: its Node is gone: install it again' >&2
exit 69
END
chmod 755 "$work/assay"
mv -f "$work/assay.mjs" "$data/assay.mjs" && mv -f "$work/assay" "$bin/assay" || die "$bin/assay cannot be written"
installed=$("$bin/assay" --version) || die "$bin/assay does not start"
say "assay $installed is installed: $bin/assay"
case :$PATH: in *:"$bin":*) ;; *) say "add it to the PATH: export PATH=\"$bin:\$PATH\"" ;; esac
say 'sign in: assay login'
}
