#!/bin/sh
# Checks the plugin as the loader does, and uses it for a few steps: test.sh PLUGIN_NAME.so [DEMIST]
set -e
so=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
demist=${2:-${DEMIST:-demist}}
set --
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$demist" plugins "$so"
cat >"$work/try.yaml" <<YAML
name: try
plugin_path: '$(dirname "$so")'
data: {use: toy2d}
schedule: {use: linear, timesteps: 100}
network: {use: mlp, width: 16, depth: 1}
objective: {use: simple}
sampler: {use: ddim, steps: 5}
train: {steps: 3, batch: 8}
output: '$work/run'
YAML
# Guidance needs a network that can also be asked without a class.
[ PLUGIN_SECTION != guidance ] || set -- data.labels=true network.use=exact_gaussians network.classes=true \
  'network.means=[-1, 1]' 'network.deviations=[0.5, 0.5]' train.drop_condition=0.1
"$demist" train "$work/try.yaml" PLUGIN_SECTION.use=PLUGIN_NAME "$@" --quiet
"$demist" sample "$work/run" --count 4 --tensors "$work/x.safetensors" --quiet
echo "PLUGIN_NAME works"
