"""What happens inside one model call: attention towards the keyframes, and time inside the rotary embedding."""
