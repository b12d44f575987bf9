"""ElevenLabs' voices: over multi-context WebSockets, one WebSocket a reply, or HTTP."""
