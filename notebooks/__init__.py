"""The notebooks, as percent sources. A package only so that they are installed: the SLA report is one of them."""
