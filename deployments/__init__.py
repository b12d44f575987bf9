from deployments.loopback import listen_on_loopback

listen_on_loopback()
