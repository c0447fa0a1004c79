"""Everything `sca dev` needs on one machine: embedded servers, scripted suppliers, the handset."""
